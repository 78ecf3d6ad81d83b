package histogram

import (
	"math"
	"time"
)

// places finds the bucket of a mantissa: ends are where the 64 buckets of an
// octave end, and starts says, for each 1/128 of the octave, in which bucket it
// begins.
type places struct {
	ends   [perOctave + 1]float64
	starts [2 * perOctave]uint8
}

var octave = newPlaces()

func newPlaces() places {
	var p places
	for i := range p.ends {
		p.ends[i] = math.Exp2(float64(i) / perOctave)
	}
	for i := range p.starts {
		at := 1 + float64(i)/(2*perOctave)
		for p.ends[p.starts[i]+1] < at {
			p.starts[i]++
		}
	}
	return p
}

// bucket gives i for a duration above 2^(i/64) s and up to 2^((i+1)/64) s.
func bucket(d time.Duration) int {
	bits := math.Float64bits(float64(d) / float64(time.Second))
	exponent := int(bits>>52) - 1023
	fraction := bits & (1<<52 - 1)
	if fraction == 0 {
		return exponent*perOctave - 1
	}
	mantissa := math.Float64frombits(fraction | 1023<<52)
	i := int(octave.starts[fraction>>(52-Scale-1)])
	for octave.ends[i+1] < mantissa {
		i++
	}
	return exponent*perOctave + i
}
