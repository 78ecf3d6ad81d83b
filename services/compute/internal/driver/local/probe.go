package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

const (
	readyPath       = "/-/ready"
	livePath        = "/"
	firstReadyPause = 20 * time.Millisecond
	mostReadyPause  = 250 * time.Millisecond
	readyTimeout    = 2 * time.Second
	statusPath      = "/-/status"
	maxProbeAnswer  = 64 << 10
)

// prober asks a scorer whether it can serve. Until the first success it asks
// often whether the script is ready; then it asks by the liveness probe's
// settings whether the process is alive, so the initial delay ends early.
type prober struct {
	settings func() workload.Probe // as they are now
	client   *http.Client
	pause    time.Duration
	wasReady bool
	failures int // in a row
	answers  int // in a row, after a failure
}

type probeResult struct {
	ok      bool
	failure string
	report  replica.Report // with the first success
}

type verdict int

const (
	isStarting verdict = iota
	isReady
	isLost
)

func newProber(settings func() workload.Probe) *prober {
	return &prober{
		settings: settings, pause: firstReadyPause,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}},
	}
}

// patience is how long a process may take to become ready.
func (p *prober) patience() time.Duration {
	probe := p.settings()
	return probe.InitialDelay + time.Duration(probe.FailureThreshold)*probe.Period
}

// ask sends one probe, and asks a scorer that has become ready what it is. It
// does not change p.
func (p *prober) ask(ctx context.Context, address string) probeResult {
	if p.wasReady {
		result, _ := p.get(ctx, address, livePath, p.settings().Timeout)
		return result
	}
	result, _ := p.get(ctx, address, readyPath, readyTimeout)
	if !result.ok {
		return result
	}
	if status, body := p.get(ctx, address, statusPath, readyTimeout); status.ok {
		result.report = report(body)
	}
	return result
}

// report reads a scorer's status answer. What cannot be read is not reported.
func report(body []byte) replica.Report {
	var said struct {
		Runtime           string   `json:"runtime"`
		ExecutionProvider string   `json:"execution_provider"`
		Accelerators      []string `json:"accelerators"`
	}
	if json.Unmarshal(body, &said) != nil {
		return replica.Report{}
	}
	return replica.Report{Runtime: said.Runtime, ExecutionProvider: said.ExecutionProvider, Accelerators: said.Accelerators}
}

func (p *prober) get(ctx context.Context, address, path string, timeout time.Duration) (probeResult, []byte) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return probeResult{failure: err.Error()}, nil
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return probeResult{failure: fmt.Sprintf("no answer within %s", timeout)}, nil
		}
		if around, ok := errors.AsType[*url.Error](err); ok { // whose words are about us
			err = around.Err
		}
		return probeResult{failure: err.Error()}, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbeAnswer))
	if err != nil {
		return probeResult{failure: err.Error()}, nil
	}
	if resp.StatusCode == http.StatusOK {
		return probeResult{ok: true}, body
	}
	return probeResult{failure: reason(resp.StatusCode, body)}, nil
}

// reason takes the words of a scorer that is not ready.
func reason(status int, body []byte) string {
	var said struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) == nil && said.Message+said.Reason != "" {
		if said.Message != "" {
			return said.Message
		}
		return said.Reason
	}
	return fmt.Sprintf("it answered with status %d", status)
}

// judge counts a result and says when to ask again.
func (p *prober) judge(r probeResult, age time.Duration) (time.Duration, verdict) {
	probe := p.settings()
	if !p.wasReady {
		if r.ok {
			p.wasReady, p.failures = true, 0
			return probe.Period, isReady
		}
		if age > p.patience() {
			return 0, isLost
		}
		pause := p.pause
		p.pause = min(p.pause*3/2, mostReadyPause)
		return pause, isStarting
	}
	if r.ok {
		if p.answers++; p.answers >= probe.SuccessThreshold {
			p.failures = 0
		}
		return probe.Period, isReady
	}
	p.answers = 0
	p.failures++
	if p.failures >= probe.FailureThreshold {
		return 0, isLost
	}
	return probe.Period, isReady
}
