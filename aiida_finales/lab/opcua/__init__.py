"""The driver of devices that speak OPC UA: a ``profile`` says which variables mean what, a ``session`` talks."""
