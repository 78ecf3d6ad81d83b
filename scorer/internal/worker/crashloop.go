package worker

import (
	"fmt"
	"time"
)

// The deaths in one slot within crashWindow may weigh less than crashLimit in sum: five without a request, or ten of workers that
// answered nothing. A worker that has answered and dies of a request shows that some requests are bad, not the script.
const (
	crashWindow     = time.Minute
	crashLimit      = 20
	idleWeight      = 4
	fruitlessWeight = 2
)

// death is an end of a worker that the scorer did not bring about.
type death struct {
	at       time.Time
	serving  bool // it held a request
	answered int64
	exit     string
}

func (d death) weight() int {
	switch {
	case !d.serving:
		return idleWeight
	case d.answered == 0:
		return fruitlessWeight
	}
	return 0
}

// judge gives the deaths that still count at the last one, which is now, and an error when they are too many.
func judge(deaths []death) ([]death, error) {
	if len(deaths) == 0 {
		return nil, nil
	}
	last := deaths[len(deaths)-1]
	var counted []death
	sum := 0
	for _, d := range deaths {
		if d.weight() > 0 && last.at.Sub(d.at) < crashWindow {
			counted = append(counted, d)
			sum += d.weight()
		}
	}
	if sum < crashLimit {
		return counted, nil
	}
	return counted, &CrashLoopError{Cause: fmt.Sprintf("the script's Python process died %d times within %s, %d times while it ran no request; the last time: %s",
		len(counted), last.at.Sub(counted[0].at).Round(time.Second), idle(counted), last.exit)}
}

func idle(deaths []death) int {
	n := 0
	for _, d := range deaths {
		if !d.serving {
			n++
		}
	}
	return n
}
