"""What a request costs: CPU per process, throughput and added latency, measured side by side."""
