//! Cosines and sines of rotary positions.

use super::config::Config;

/// Tables of one base: `positions` rows of `depth / 2`.
pub struct Rotation {
    theta: f32,
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotation {
    /// One for each base in the model.
    pub fn tables(config: &Config) -> Vec<Rotation> {
        let mut tables: Vec<Rotation> = Vec::new();
        for theta in config.layers.iter().map(|l| l.theta).filter(|t| *t > 0.0) {
            if tables.iter().all(|t| t.theta != theta) {
                tables.push(Rotation::new(theta, config.depth() / 2, config.positions));
            }
        }
        tables
    }

    fn new(theta: f32, half: usize, positions: usize) -> Rotation {
        let mut rotation = Rotation { theta, half, cosines: Vec::new(), sines: Vec::new() };
        // In fp32, as transformers computes them.
        let speeds: Vec<f32> = (0..half).map(|i| 1.0 / theta.powf(i as f32 / half as f32)).collect();
        for position in 0..positions {
            for speed in &speeds {
                let (sine, cosine) = (position as f32 * speed).sin_cos();
                rotation.cosines.push(cosine);
                rotation.sines.push(sine);
            }
        }
        rotation
    }

    pub fn of(tables: &[Rotation], theta: f32) -> Option<&Rotation> {
        tables.iter().find(|t| t.theta == theta)
    }

    /// Cosines and sines of a position.
    pub fn at(&self, position: usize) -> (*const f32, *const f32) {
        let range = position * self.half..(position + 1) * self.half;
        (self.cosines[range.clone()].as_ptr(), self.sines[range].as_ptr())
    }
}
