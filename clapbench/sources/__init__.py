"""Files from elsewhere: found, downloaded, verified, read without running code."""
