module pyro.local/guest

go 1.27
