// Package conformance checks a server against the Open Inference Protocol, version 2: REST, the binary tensor data extension, gRPC, and that
// all of them give equal answers. It asks any server by its URL, and needs nothing but a model that answers the same to the same
// request.
//
//	go test ./conformance                                                    # our own scorer
//	go test ./conformance -v -url http://HOST:PORT -grpc HOST:PORT -model M  # any server
//
// A suite's methods are called one after the other.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Target is the server to check.
type Target struct {
	// URL is what is before /v2; empty leaves REST out.
	URL string
	// GRPC is host:port without TLS; empty leaves gRPC out.
	GRPC string
	// Model is the model to ask, Version one of its versions, empty for none.
	Model, Version string
	// LeaveOut names inputs that the model can do without, and that can't be 1 or "1".
	LeaveOut []string
	// Key, if not empty, is sent as a bearer token.
	Key string
}

// Result is what came of a requirement.
type Result struct {
	// ID names the requirement, Text says it.
	ID, Text string
	// Err says how it is not met, nil for met. Skipped says why it does not apply.
	Err     error
	Skipped string
}

// Report has the results in order.
type Report []Result

// Failed gives what is not met.
func (r Report) Failed() Report {
	var out Report
	for _, result := range r {
		if result.Err != nil {
			out = append(out, result)
		}
	}
	return out
}

// Write writes a line for each requirement and a sum.
func (r Report) Write(w io.Writer) {
	met, skipped := 0, 0
	for _, result := range r {
		switch {
		case result.Err != nil:
			fmt.Fprintf(w, "FAIL  %-8s %s\n               %v\n", result.ID, result.Text, result.Err)
		case result.Skipped != "":
			skipped++
			fmt.Fprintf(w, "skip  %-8s %s (%s)\n", result.ID, result.Text, result.Skipped)
		default:
			met++
			fmt.Fprintf(w, "ok    %-8s %s\n", result.ID, result.Text)
		}
	}
	fmt.Fprintf(w, "%d of %d requirements are met, %d do not apply\n", met, len(r), skipped)
}

// requirement is one thing that the protocol asks for.
type requirement struct {
	id, text string
	check    func(ctx context.Context, c *client) error
}

// skipError says why a requirement does not apply.
type skipError string

func (e skipError) Error() string { return string(e) }

// Run checks everything.
func Run(ctx context.Context, target Target) (Report, error) {
	c, err := newClient(target)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var report Report
	add := func(requirements []requirement, leftOut string) {
		for _, r := range requirements {
			result := Result{ID: r.id, Text: r.text, Skipped: leftOut}
			if leftOut == "" {
				result.Err = r.check(ctx, c)
			}
			var skip skipError
			if errors.As(result.Err, &skip) {
				result.Err, result.Skipped = nil, string(skip)
			}
			report = append(report, result)
		}
	}
	noREST, noGRPC := "", ""
	if target.URL == "" {
		noREST = "no URL is given"
	}
	if target.GRPC == "" {
		noGRPC = "no address for gRPC is given"
	}
	add(restRequirements(), noREST)
	add(inferRequirements(), noREST)
	add(refusalRequirements(), noREST)
	add(binaryRequirements(), noREST)
	add(grpcRequirements(), noGRPC)
	if noGRPC != "" {
		noREST = noGRPC
	}
	add(equalityRequirements(), noREST)
	return report, nil
}
