package worker

import "time"

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// pause is how long to wait before a worker is replaced, after so many that ended without having answered anything.
// The first is replaced at once. jitter is in [0, 1) and takes up to a fifth off, so that workers do not restart in step.
func pause(fruitless int, jitter float64) time.Duration {
	if fruitless <= 0 {
		return 0
	}
	d := maxPause
	if shift := fruitless - 1; shift < 16 {
		d = min(maxPause, firstPause<<shift)
	}
	return d - time.Duration(jitter*float64(d)/5)
}
