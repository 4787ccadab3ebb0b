package scalar

// Tnum says of each bit of a number whether it is 0, 1 or unknown: a bit that is
// set in Mask is unknown, and then clear in Value.
type Tnum struct{ Value, Mask uint64 }
