"""GAN families: one file, one family, which bears the file's name. They do not know each other."""
