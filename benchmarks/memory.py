"""placeholder"""
def measure_memory(*a): return iter(())
