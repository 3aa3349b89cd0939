"""The outside world: one module drives one outside thing and translates its failures into `DsciError`."""
