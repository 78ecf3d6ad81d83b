package tensor

import "math"

// halfOf rounds to IEEE 754 binary16, ties to even. What is too great becomes infinite.
func halfOf(v float64) uint16 {
	bits := math.Float64bits(v)
	sign := uint16(bits>>48) & 0x8000
	v = math.Abs(v)
	switch {
	case math.IsNaN(v):
		return sign | 0x7e00
	case v >= 65520: // half way between the greatest and what would follow
		return sign | 0x7c00
	case v < 0x1p-14: // subnormal: multiples of 2^-24
		return sign | uint16(math.RoundToEven(v*0x1p24))
	}
	fraction, exponent := math.Frexp(v) // v = fraction × 2^exponent, fraction in [0.5, 1)
	// 1024 to 2048 steps between two powers of two; 2048 carries into the exponent by itself.
	steps := math.RoundToEven(fraction * 2048)
	return sign | (uint16(exponent+13)<<10 + uint16(steps))
}

func halfValue(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	exponent, fraction := int(h>>10)&0x1f, float64(h&0x3ff)
	switch {
	case exponent == 0x1f && fraction != 0:
		return math.NaN()
	case exponent == 0x1f:
		return sign * math.Inf(1)
	case exponent == 0:
		return sign * math.Ldexp(fraction, -24)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// brainOf rounds to bfloat16, ties to even.
func brainOf(v float64) uint16 {
	if math.IsNaN(v) {
		return 0x7fc0
	}
	// Rounding twice could differ from rounding once: the first time what is cut off stays visible in the lowest bit.
	bits := math.Float32bits(roundToOdd(v))
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// roundToOdd gives v as float32; where that loses something, the lowest bit is set.
func roundToOdd(v float64) float32 {
	single := float32(v)
	if float64(single) == v || math.IsInf(float64(single), 0) && math.IsInf(v, 0) {
		return single
	}
	if math.Abs(float64(single)) > math.Abs(v) {
		single = math.Nextafter32(single, 0)
	}
	return math.Float32frombits(math.Float32bits(single) | 1)
}
