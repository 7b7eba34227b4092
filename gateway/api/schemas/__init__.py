"""What do requests and answers look like? Models for the documentation only: no relayed body is parsed by them."""
