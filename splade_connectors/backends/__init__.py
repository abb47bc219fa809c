"""The protocols that an adapter implements, and the kit to build one."""
