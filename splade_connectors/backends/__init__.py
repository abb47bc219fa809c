"""What an adapter implements, and the kit it is made with."""
