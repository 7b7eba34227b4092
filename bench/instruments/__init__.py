"""What is measured with? A model server, a load generator and a yardstick in C, and the Python that drives them."""
