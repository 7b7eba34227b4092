"""What does the admin API take and give? Its bodies, a file for each kind of thing."""
