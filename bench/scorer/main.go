// Command scorer compares the scorer with a server of the old shape, Flask behind gunicorn: requests per second, processor time per
// request, and latency, for the same entry script and number of workers. It prints a table and writes nothing else.
//
// The servers run at the same time and are measured in turns; a figure is the median of its rounds. Processor time is that of the
// server's processes, not of the load.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"
)

//go:embed flask_server.py in_process.py trivial.py ridge.py
var files embed.FS

const body = `{"data": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]}`

type options struct {
	scorer, python string
	workers, conns int
	rounds         int
	length         time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.scorer, "scorer", "", "the scorer's `binary` (cd scorer && go build ./cmd/scorer)")
	flag.StringVar(&o.python, "python", "/usr/bin/python3", "`interpreter` with flask, gunicorn and scikit-learn")
	flag.IntVar(&o.workers, "workers", 1, "worker processes of each server")
	flag.IntVar(&o.conns, "connections", 8, "callers at once")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the median counts")
	flag.DurationVar(&o.length, "length", time.Second, "how long one measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.scorer == "" {
		return fmt.Errorf("say where the scorer's binary is: -scorer")
	}
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, files); err != nil {
		return fmt.Errorf("unpack the servers: %w", err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "script\tserver\trequests/s\tratio\tCPU µs/request\tp50 µs, 1 caller\tadded to run()\tp99 µs\t")
	for _, script := range []string{"trivial", "ridge"} {
		if err := compare(ctx, o, dir, script, table); err != nil {
			return err
		}
	}
	return table.Flush()
}

// compare measures the servers with one script, in turns.
func compare(ctx context.Context, o options, dir, script string, table *tabwriter.Writer) error {
	path := filepath.Join(dir, script+".py")
	alone, err := inProcess(ctx, o, dir, path)
	if err != nil {
		return err
	}
	servers := []*server{
		{name: "scorer", args: []string{o.scorer, "--python", o.python, "--entry-script", path, "--workers", fmt.Sprint(o.workers), "--listen"}},
		{name: "gunicorn sync", args: gunicorn(o, dir, "sync")},
		{name: "gunicorn gthread", args: append(gunicorn(o, dir, "gthread"), "--threads", fmt.Sprint(o.conns), "--keep-alive", "60")},
	}
	for i, s := range servers {
		if i > 0 {
			s.args = append(s.args, "--bind")
		}
		stop, err := s.start(ctx, path)
		if err != nil {
			return err
		}
		defer stop()
	}
	for round := range o.rounds + 1 {
		for _, s := range servers {
			if err := s.measure(ctx, o, round > 0); err != nil {
				return err
			}
		}
	}
	base := median(servers[1].rates)
	for _, s := range servers {
		p50 := median(s.p50)
		_, _ = fmt.Fprintf(table, "%s\t%s\t%.0f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", script, s.name, median(s.rates), median(s.rates)/base,
			median(s.cpu), p50, p50-alone, median(s.p99))
	}
	_, _ = fmt.Fprintf(table, "%s\trun() called directly\t\t\t\t%.1f\t\t\t\n", script, alone)
	return nil
}

func gunicorn(o options, dir, class string) []string {
	return []string{o.python, "-m", "gunicorn", "--chdir", dir, "--workers", fmt.Sprint(o.workers), "--worker-class", class, "--log-level", "warning", "flask_server:app"}
}
