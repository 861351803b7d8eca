"""What figures are drawn from and claims are checked on."""
