"""Commands about the past: backfill, replay. Nothing here plans or sends: services do."""
