"""What do a hundred people at once see? A load test with Locust, against five simulated servers or a real host."""
