// Found by the compiler only where `.libtorch` has no headers: says what to do before anything else can fail.
#error "No libtorch in .libtorch. Run `make setup`, or build without it: cargo build --no-default-features --features candle"
#include "stop-here: no libtorch"
