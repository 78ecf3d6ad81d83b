// Package traffic is clients of the data plane that send scoring requests at a
// steady rate, whatever becomes of those before, and account for every one. Only
// when very many are not answered yet, the next ones wait.
//
// No request is given up before it has been answered or patience is over, none is
// sent twice, and each is counted once. Run belongs to one goroutine; the account
// is whole when Run has returned.
package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead/fairlead/test/harness"
)

// patience is how long a client waits for an answer: longer than anything that
// may hold a request up.
const patience = 45 * time.Second

// mostOpen is how many requests may be unanswered at a time: fewer than a router
// lets wait for one version, so that no machine is too slow for none to be refused.
const mostOpen = 80

// Lane is one endpoint that is called.
type Lane struct {
	Endpoint, Key string
	// Turns is how many of each round of requests it gets.
	Turns int
}

// Clients send the requests.
type Clients struct {
	to      scorer
	lanes   []string // endpoints, one for each turn of a round
	keys    map[string]string
	done    sync.WaitGroup
	open    chan struct{} // has an element for each request that is not answered
	mu      sync.Mutex
	account Account
	latest  map[string]time.Time // the begin of the latest request that was answered, by endpoint
}

// scorer is an installation.
type scorer interface {
	Score(ctx context.Context, endpoint, key string, body []byte, header http.Header) (harness.Answer, error)
}

// New makes clients for lanes. Their turns are spread over a round.
func New(to scorer, lanes []Lane) *Clients {
	c := &Clients{to: to, keys: map[string]string{}, open: make(chan struct{}, mostOpen), latest: map[string]time.Time{}}
	left := map[string]int{}
	for _, l := range lanes {
		left[l.Endpoint], c.keys[l.Endpoint] = l.Turns, l.Key
	}
	for more := true; more; {
		more = false
		for _, l := range lanes {
			if left[l.Endpoint] > 0 {
				c.lanes = append(c.lanes, l.Endpoint)
				left[l.Endpoint]--
				more = true
			}
		}
	}
	return c
}

// Run sends rate requests a second until ctx ends, and waits for all answers.
func (c *Clients) Run(ctx context.Context, rate int) *Account {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	begin := time.Now()
	var n int64
	for {
		select {
		case <-ctx.Done():
			c.done.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return &c.account
		case <-tick.C:
		}
		// A tick that came late brings those that were missed with it.
		for ; n < int64(time.Since(begin).Seconds()*float64(rate)) && ctx.Err() == nil; n++ {
			waiting := time.Now()
			select {
			case c.open <- struct{}{}:
				c.send(n)
			case <-ctx.Done():
			}
			begin = begin.Add(time.Since(waiting)) // what had to wait is not made up for
		}
	}
}

func (c *Clients) send(n int64) {
	endpoint := c.lanes[n%int64(len(c.lanes))]
	c.done.Go(func() {
		r := c.score(n, endpoint)
		<-c.open
		c.mu.Lock()
		defer c.mu.Unlock()
		c.account.add(r)
		if r.Problem == "" && r.Begin.After(c.latest[endpoint]) {
			c.latest[endpoint] = r.Begin
		}
	})
}

// score sends one request to its end.
func (c *Clients) score(n int64, endpoint string) Request {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := Request{Number: n, Endpoint: endpoint, Begin: time.Now()}
	answer, err := c.to.Score(ctx, endpoint, c.keys[endpoint], fmt.Appendf(nil, `{"n": %d, "sleep": %v}`, n, pause(n)), nil)
	r.End, r.Version = time.Now(), answer.Version()
	switch {
	case err != nil:
		r.Problem = err.Error()
	case answer.Status != http.StatusOK:
		r.Status, r.Problem = answer.Status, string(answer.Body)
	default:
		r.Status, r.Problem = answer.Status, misread(n, answer)
	}
	return r
}

// pause is how long the script works on a request, in seconds: now and then a
// while, so that faults meet requests.
func pause(n int64) float64 {
	if n%10 == 0 {
		return 0.1
	}
	return 0.005
}

// misread says what is wrong with an answer; empty for nothing.
func misread(n int64, answer harness.Answer) string {
	var body struct {
		Echo struct {
			N *int64 `json:"n"`
		} `json:"echo"`
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil || body.Echo.N == nil {
		return "the answer is not the script's: " + string(answer.Body)
	}
	if *body.Echo.N != n {
		return fmt.Sprintf("the answer is that of request %d", *body.Echo.N)
	}
	return ""
}

// AnsweredAfter says whether every endpoint has answered a request that was sent
// after a moment.
func (c *Clients) AnsweredAfter(moment time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for endpoint := range c.keys {
		if !c.latest[endpoint].After(moment) {
			return false
		}
	}
	return true
}
