"""From a USD scene to navigation training: maps, islands, geodesics, episodes."""
