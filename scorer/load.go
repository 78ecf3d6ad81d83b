package scorer

import (
	"time"

	"github.com/fairlead/fairlead/scorer/internal/loadreport"
)

// reporter says how busy the scorer is, each of whose workers runs so many requests at once.
func (p *parts) reporter(threads int) *loadreport.Reporter {
	requests := func() loadreport.Requests { return p.requests(threads) }
	return loadreport.New(loadreport.Deps{Requests: requests, Usage: loadreport.Measure, Now: time.Now})
}

// requests gives those inside now. How many can be answered at a time is known of scripts.
func (p *parts) requests(threads int) loadreport.Requests {
	out := loadreport.Requests{InFlight: p.gate.Inside()}
	if workers := p.runtime.Status().Workers; workers != nil {
		out.Queued, out.Capacity = workers.Queued, workers.Configured*threads
	}
	return out
}
