package failure

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/test/failure/plan"
	"github.com/fairlead/fairlead/test/failure/traffic"
	"github.com/fairlead/fairlead/test/failure/wire"
	"github.com/fairlead/fairlead/test/harness"
	"github.com/fairlead/fairlead/test/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// seedVariable repeats a plan, as far as the machine lets the rest be the same.
	seedVariable = "FAIRLEAD_FAILURE_SEED"
	// soakVariable is how long faults go on, for example 30m.
	soakVariable = "FAIRLEAD_SOAK"
	// shortRun is how long they go on otherwise, by a plan that is always the same:
	// a test that anybody runs looks for what has broken, a soak for what is not known.
	shortRun  = 20 * time.Second
	shortSeed = 11
)

const (
	// rate is how many requests are sent a second, changes how many changes at most.
	rate, changes = 100, 4
	// longestGap is how long there may be no router after it was killed, on a machine
	// that has no more to do than it can; a busier one takes longer accordingly.
	longestGap = 5 * time.Second
	// settling is how long everything may take to be well after the last fault.
	settling = 40 * time.Second
	// checking is how long it may take to look for everything that was acknowledged.
	checking = 5 * time.Minute
	// changePatience is how long a client waits for an answer of the control plane.
	changePatience = 10 * time.Second
	diskSize       = 192 << 20
)

func TestAllInOne(t *testing.T) { test(t, harness.AllInOne) }

func TestServices(t *testing.T) { test(t, harness.Services) }

func test(t *testing.T, assembly harness.Assembly) {
	harness.NeedPython(t)
	seed, length := settingsOf(t)
	t.Logf("to repeat: %s=%d %s=%v go test ./failure -timeout 0 -run %s", seedVariable, seed, soakVariable, length, t.Name())

	var options []harness.Option
	site := plan.Site{Disk: true, Wire: assembly == harness.Services}
	if err := harness.CanLimitDisk(); err != nil {
		t.Logf("the disk is not filled: %v", err)
		site.Disk = false
	} else {
		options = append(options, harness.WithDiskOf(diskSize))
	}
	var cut *wire.Wire
	if assembly == harness.Services {
		options = append(options, harness.WithOrphanGrace(time.Minute), harness.WithDetour("nats", func(address string) (string, error) {
			var err error
			cut, err = wire.Open(context.Background(), address)
			if err != nil {
				return "", err
			}
			t.Cleanup(cut.Close)
			return cut.Address(), nil
		}))
	} else {
		t.Log("NATS is not cut off: it is in the one process there is")
	}
	i := harness.Start(t, assembly, options...)
	site.Processes = i.Names()
	site.Clocks = slices.DeleteFunc(slices.Clone(site.Processes), func(name string) bool { return name == "nats" || name == "gateway" })

	r := &run{T: t, i: i, ledger: ledger.New(i.Conn()), injector: newInjector(i, cut), seed: seed}
	r.deploy()
	r.endure(plan.Make(seed, site, length))
}

func settingsOf(t *testing.T) (seed uint64, length time.Duration) {
	t.Helper()
	seed, length = shortSeed, shortRun
	var err error
	if text := os.Getenv(seedVariable); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	if text := os.Getenv(soakVariable); text != "" {
		if os.Getenv(seedVariable) == "" {
			seed = uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
		}
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakVariable, err)
		}
	}
	return seed, length
}

// run is one test on its installation.
type run struct {
	*testing.T
	i        *harness.Installation
	ledger   *ledger.Ledger
	injector *injector
	seed     uint64
	site     site
}

// endure lets clients work while the faults of a plan happen, and checks
// everything when all is well again.
func (r *run) endure(faults []plan.Fault) {
	if slices.ContainsFunc(faults, func(f plan.Fault) bool { return f.Target == r.i.Process("deploy") && f.Offset != 0 }) {
		r.ledger.AllowDeadlines()
	}
	clients := traffic.New(r.i, r.site.lanes)
	ctx, stop := context.WithCancel(context.Background())
	var account *traffic.Account
	var sending, changing sync.WaitGroup
	sending.Go(func() { account = clients.Run(ctx, rate) })
	r.Cleanup(func() { stop(); sending.Wait() })
	harness.Eventually(r.T, settling, "every endpoint answers", func() error {
		if !clients.AnsweredAfter(time.Time{}) {
			return fmt.Errorf("some have not yet")
		}
		return nil
	})
	work, rest := context.WithCancel(context.Background())
	changing.Go(func() { r.change(work) })
	changing.Go(func() { r.exchange(work) })

	r.injector.run(ctx, faults)
	r.injector.say("all faults are over")
	rest()
	changing.Wait()
	r.settle(clients)
	stop()
	sending.Wait()
	r.undeploy()
	r.report(account)
	if r.Failed() || testing.Verbose() {
		r.Logf("seed %d; what was done:\n%s", r.seed, strings.Join(r.injector.log, "\n"))
	}
}

// change makes small changes, slowly, each at random.
func (r *run) change(ctx context.Context) {
	random := rand.New(rand.NewPCG(r.seed, 1)) //nolint:gosec // to be repeated
	deeds := []func(context.Context) error{
		r.ledger.RegisterModel, r.ledger.CreateWorkspace, r.ledger.CreateTarget,
		func(ctx context.Context) error { return r.ledger.Mark(ctx, "till") },
		func(ctx context.Context) error { return r.ledger.Mark(ctx, "shop") },
		func(ctx context.Context) error { return r.ledger.RegenerateSecondaryKey(ctx, "till") },
		func(ctx context.Context) error {
			return r.ledger.SetTraffic(ctx, "shop", "green", float64(20+10*random.IntN(5)))
		},
	}
	for pause(ctx, time.Second/changes) == nil {
		once, cancel := context.WithTimeout(context.Background(), changePatience)
		_ = deeds[random.IntN(len(deeds))](once) // the ledger notes how it went
		cancel()
	}
}

// exchange adds and deletes a version, again and again.
func (r *run) exchange(ctx context.Context) {
	for pause(ctx, time.Second/changes) == nil {
		once, cancel := context.WithTimeout(context.Background(), settling)
		_ = r.ledger.Exchange(once, "open", r.site.added) // the ledger notes how it went
		cancel()
	}
}

// settle waits until the installation is well, and all endpoints answer.
func (r *run) settle(clients *traffic.Clients) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*settling)
	defer cancel()
	begin := time.Now()
	harness.Eventually(r.T, settling, "all is well again; "+r.story(), func() error {
		if !clients.AnsweredAfter(begin) {
			return fmt.Errorf("some endpoints do not answer")
		}
		s, err := readState(ctx, r.i, r.ledger)
		if err != nil {
			return err
		}
		return s.check(r.own())
	})
	r.injector.say("all is well after %v", time.Since(begin).Round(time.Millisecond))
	ctx, cancel = context.WithTimeout(context.Background(), checking)
	defer cancel()
	for _, problem := range r.ledger.Check(ctx) {
		r.Error(problem)
	}
	r.checkKeys(ctx)
}

// story is what was done until now, for the report of a failure that ends the test.
func (r *run) story() string {
	return fmt.Sprintf("seed %d, what was done:\n%s", r.seed, strings.Join(r.injector.log, "\n"))
}

// own are the processes of the harness.
func (r *run) own() []int {
	var own []int
	for _, name := range r.i.Names() {
		own = append(own, r.i.PID(name))
	}
	return own
}

// checkKeys looks whether every endpoint is opened by its key and by no other.
func (r *run) checkKeys(ctx context.Context) {
	for _, lane := range r.site.lanes {
		if lane.Key == "" {
			continue
		}
		for key, want := range map[string]int{lane.Key: http.StatusOK, "wrong-wrong-wrong-wrong": http.StatusUnauthorized} {
			answer, err := r.i.Score(ctx, lane.Endpoint, key, []byte(`{}`), nil)
			if err != nil || answer.Status != want {
				r.Errorf("%s is answered with %v, %v; want %d", lane.Endpoint, answer, err, want)
			}
		}
	}
}

// report checks what the clients saw.
func (r *run) report(account *traffic.Account) {
	r.injector.mu.Lock()
	defer r.injector.mu.Unlock()
	for _, problem := range r.injector.problems {
		r.Error(problem)
	}
	unexcused := account.Unexcused(r.injector.excuses)
	for n, request := range unexcused {
		if n == 20 {
			r.Errorf("and %d more", len(unexcused)-n)
			break
		}
		r.Errorf("failed without an excuse: %v", request)
	}
	for _, gap := range r.injector.gaps {
		if gap.time.Seconds() > longestGap.Seconds()*gap.load {
			r.Errorf("there was no router for %v", gap)
		}
	}
	for _, refusal := range r.ledger.Strange() {
		r.Errorf("a change was refused with %s", refusal)
	}
	if r.ledger.Acknowledged() == 0 {
		r.Error("no change was acknowledged")
	}
	r.Logf("%d requests, %d of them failed, %d without an excuse; the slowest took %v; answered: %v",
		account.Sent, len(account.Failed), len(unexcused), account.Slowest.End.Sub(account.Slowest.Begin).Round(time.Millisecond), account.Answered)
	r.Logf("%d changes were acknowledged; refused: %v", r.ledger.Acknowledged(), r.ledger.Refusals())
	r.Logf("without a router: %v; faults that found no scorer: %v", r.injector.gaps, r.injector.skipped)
}
