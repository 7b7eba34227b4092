"""What is measured with? A model server, a load generator and a yardstick in C, each driven by a few lines of Python."""
