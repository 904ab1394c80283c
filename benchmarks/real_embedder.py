"""placeholder"""
def measure_real(*a): return iter(())
