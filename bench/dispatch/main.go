// Command dispatch simulates routers that spread requests over replicas of unequal
// and changing speed, and prints the 99th percentile of latency by rule of choice,
// load and number of routers. The rules are those of the router itself, package
// balancing, beside the published ones that it has not got.
//
//	go run ./dispatch -scenario mixed -routers 1,10 -loads 0.5,0.7,0.9,0.95 -seeds 20
//
// The model is that of package simulation; a load of 1 is what all replicas can do
// together, the slowed one counted as slowed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/fairlead/fairlead/bench/dispatch/simulation"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dispatch:", err)
		os.Exit(1)
	}
}

// fleets are the replicas' speeds by scenario.
func fleets() map[string][]float64 {
	return map[string][]float64{
		"mixed": append(slices.Repeat([]float64{8}, 4), slices.Repeat([]float64{1}, 12)...),
		"even":  slices.Repeat([]float64{1}, 16),
		"small": slices.Repeat([]float64{1}, 3),
	}
}

type plan struct {
	scenario string
	routers  []float64
	loads    []float64
	rules    []string
	requests int
	seeds    int
}

func run(args []string, out io.Writer) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	speeds, ok := fleets()[p.scenario]
	if !ok {
		return fmt.Errorf("there is no scenario %q: it is mixed, even or small", p.scenario)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%s: p99 in ms, medians of %d seeds, %d requests each\n", p.scenario, p.seeds, p.requests)
	fmt.Fprintf(&table, "routers\tload\t%s\t\n", strings.Join(p.rules, "\t"))
	for _, routers := range p.routers {
		for _, load := range p.loads {
			fmt.Fprintf(&table, "%.0f\t%.2f\t", routers, load)
			for _, rule := range p.rules {
				cell := simulation.Config{Speeds: speeds, Routers: int(routers), Slots: 1, Load: load, Requests: p.requests, Rule: rule}
				p99, err := cell99(cell, p.seeds)
				if err != nil {
					return err
				}
				fmt.Fprintf(&table, "%.0f\t", float64(p99)/float64(time.Millisecond))
			}
			table.WriteString("\n")
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(w, table.String()); err != nil {
		return err
	}
	return w.Flush()
}

func parse(args []string) (plan, error) {
	var p plan
	var routers, loads, rules string
	flags := flag.NewFlagSet("dispatch", flag.ContinueOnError)
	flags.StringVar(&p.scenario, "scenario", "mixed", "mixed: 4 replicas of speed 8 and 12 of speed 1; even: 16 of speed 1; small: 3")
	flags.StringVar(&routers, "routers", "1,10", "numbers of routers that know nothing of each other")
	flags.StringVar(&loads, "loads", "0.5,0.7,0.8,0.9,0.95", "loads")
	flags.StringVar(&rules, "rules", strings.Join(simulation.Rules(), ","), "rules of choice")
	flags.IntVar(&p.requests, "requests", 100_000, "requests a run")
	flags.IntVar(&p.seeds, "seeds", 20, "seeds a cell")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	var err error
	if p.routers, err = numbers(routers); err != nil {
		return plan{}, err
	}
	if p.loads, err = numbers(loads); err != nil {
		return plan{}, err
	}
	p.rules = strings.Split(rules, ",")
	if p.requests <= 0 || p.seeds <= 0 {
		return plan{}, errors.New("requests and seeds must be above 0")
	}
	return p, nil
}

func numbers(list string) ([]float64, error) {
	var out []float64
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("%q is not a number above 0", text)
		}
		out = append(out, n)
	}
	return out, nil
}

// cell99 is the median over the seeds.
func cell99(c simulation.Config, seeds int) (time.Duration, error) {
	p99 := make([]time.Duration, seeds)
	errs := make([]error, seeds)
	var all sync.WaitGroup
	for seed := range seeds {
		all.Go(func() {
			mine := c
			mine.Seed = uint64(seed + 1)
			latencies, err := simulation.Run(mine)
			if err != nil {
				errs[seed] = err
				return
			}
			slices.Sort(latencies)
			p99[seed] = latencies[len(latencies)*99/100]
		})
	}
	all.Wait()
	slices.Sort(p99)
	return (p99[(seeds-1)/2] + p99[seeds/2]) / 2, errors.Join(errs...)
}
