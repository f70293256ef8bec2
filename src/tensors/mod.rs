//! What networks share: the device they run on, weight files, the convolution burn does slowly on a CPU.
