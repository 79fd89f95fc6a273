"""What Klaviyo's API is, per revision: endpoints and their limits, caps of fields, request bodies. Pure."""
