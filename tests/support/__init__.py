"""What tests share: contract checks, fakes, helpers."""
