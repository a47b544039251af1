"""Grid models: published tables, loaders, builders of homes, weather and demand tables."""
