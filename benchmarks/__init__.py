"""Side-by-side measurements of `vmamba_kernels`. Each script writes a JSON that the documents and lessons read."""
