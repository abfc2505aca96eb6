"""Plans: frozen nodes, what is proven about them, and how they read."""
