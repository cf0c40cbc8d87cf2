"""What a GAN family is, and the parts that families are made of."""
