"""A GMM-HMM phone recogniser: trained, aligned and decoded from pip alone."""
