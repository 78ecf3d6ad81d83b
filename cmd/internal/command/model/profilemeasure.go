package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/command/endpoint"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/longwork"
	"github.com/fairlead/fairlead/cmd/internal/profiling"
	"github.com/fairlead/fairlead/cmd/internal/session"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const (
	// deleteTimeout bounds the deletion, which nothing else ends.
	deleteTimeout = time.Minute
	// usagePause is between two looks for a replica that is not shown yet.
	usagePause = 100 * time.Millisecond
	usageTries = 100
	// shownAnswer is how much of a bad answer is shown.
	shownAnswer  = 2 << 10
	shownLogTail = 20
)

// measure deploys, measures, and deletes what it has deployed, whatever comes.
func (p *profile) measure(ctx context.Context, s *session.Session, c *client.Client) (m profiling.Measurement, err error) {
	defer func() {
		left := p.remove(ctx, s, c)
		switch {
		case err == nil:
			err = left
		case left != nil: // err says why all came to an end
			s.Notef("%v", left)
		}
	}()
	if err := p.deploy(ctx, s, c); err != nil {
		return m, err
	}
	load, err := p.load(ctx, s, c)
	if err != nil {
		return m, err
	}
	defer load.close()
	display := s.Progress("Measuring " + p.id)
	display.Step(s.Now(), "trying the requests")
	load.OnLevel = func(n int) { display.Step(s.Now(), fmt.Sprintf("%d at a time", n)) }
	m, err = load.Run(ctx)
	display.End(err == nil)
	if err != nil && ctx.Err() == nil {
		return m, p.measureFailed(ctx, c, err)
	}
	return m, err
}

// deployFailed says why the endpoint does not answer. It does not send to the
// endpoint, which is about to be deleted.
func (p *profile) deployFailed(ctx context.Context, s *session.Session, done *longrunningpb.Operation, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f := *failure.From(endpoint.Explain(ctx, s, p.id, "", true, done, err), s.Connection())
	f.Next = nil
	return &f
}

// measureFailed adds the end of the log, which goes with the endpoint.
func (p *profile) measureFailed(ctx context.Context, c *client.Client, err error) error {
	f := *failure.From(err, failure.Connection{})
	stream, readErr := c.Endpoints.ReadEndpointLogs(ctx, &deployv1.ReadEndpointLogsRequest{Name: p.endpoint, TailLines: shownLogTail})
	for readErr == nil {
		var r *deployv1.ReadEndpointLogsResponse
		if r, readErr = stream.Recv(); readErr == nil {
			for _, line := range r.GetLines() {
				f.Log = append(f.Log, line.GetText())
			}
		}
	}
	return &f // the log is an addition: without it the error says what it can
}

// remove deletes the endpoint, also when ctx has ended.
func (p *profile) remove(ctx context.Context, s *session.Session, c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	op, err := c.Endpoints.DeleteEndpoint(ctx, &deployv1.DeleteEndpointRequest{Name: p.endpoint, RequestId: client.NewRequestID()})
	if status.Code(err) == codes.NotFound {
		return nil // it was not made
	}
	if err == nil {
		display := s.Progress("Deleting " + p.id)
		op, err = (&longwork.Waiter{Operations: c.Operations, Display: display, Now: s.Now}).Wait(ctx, op)
		display.End(err == nil && op.GetError() == nil)
	}
	if err == nil {
		err = session.OperationError(op)
	}
	if err != nil {
		return fmt.Errorf("the endpoint %s is left; delete it with \"fairlead endpoint delete -n %s\": %w", p.id, p.id, err)
	}
	return nil
}

// endpointLoad is the load on the profile's endpoint.
type endpointLoad struct {
	profiling.Load
	http         *http.Client
	address, key string
	workloads    computev1.WorkloadServiceClient
	workload     string // its resource name
}

func (l *endpointLoad) close() { l.http.CloseIdleConnections() }

func (p *profile) load(ctx context.Context, s *session.Session, c *client.Client) (*endpointLoad, error) {
	e, err := c.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: p.endpoint})
	if err != nil {
		return nil, err
	}
	keys, err := c.EndpointKeys.ListEndpointKeys(ctx, &authv1.ListEndpointKeysRequest{Name: p.endpoint})
	if err != nil {
		return nil, err
	}
	address, err := endpoint.ScoringAddress(s, e)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2 * int(p.concurrency)}
	l := &endpointLoad{
		http: &http.Client{
			Transport: transport,
			// The key goes to the endpoint's address and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		address: address, key: keys.GetPrimaryKey(), workloads: c.Workloads,
	}
	l.Load = profiling.Load{
		Send: l.send, Usage: l.usage, Requests: p.requests, Concurrency: int(p.concurrency), Duration: p.duration,
	}
	l.workload, err = p.findWorkload(ctx, c, e.GetComputeTarget())
	return l, err
}

// findWorkload gives the workload that has the endpoint's replica. The endpoint
// shows its replica a moment after it answers.
func (p *profile) findWorkload(ctx context.Context, c *client.Client, target string) (string, error) {
	for range usageTries {
		e, err := c.Endpoints.GetEndpoint(ctx, &deployv1.GetEndpointRequest{Name: p.endpoint})
		if err != nil {
			return "", err
		}
		workloads, err := c.AllWorkloads(ctx, target)
		if err != nil {
			return "", err
		}
		for _, w := range workloads {
			for _, r := range w.GetReplicas() {
				if runs(e, r.GetId()) && r.GetUsage() != nil {
					return w.GetName(), nil
				}
			}
		}
		timer := time.NewTimer(usagePause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return "", context.Cause(ctx)
		case <-timer.C:
		}
	}
	return "", failure.New(failure.Error, "the compute target %s does not say what its replicas use, so nothing can be measured there", target)
}

func runs(e *deployv1.Endpoint, replica string) bool {
	return slices.ContainsFunc(e.GetVersions(), func(v *deployv1.EndpointVersion) bool {
		return slices.ContainsFunc(v.GetReplicaStatuses(), func(r *deployv1.ReplicaStatus) bool { return r.GetReplica() == replica })
	})
}

func (l *endpointLoad) usage(ctx context.Context) (profiling.Usage, error) {
	w, err := l.workloads.GetWorkload(ctx, &computev1.GetWorkloadRequest{Name: l.workload})
	if err != nil {
		return profiling.Usage{}, err
	}
	var u profiling.Usage
	for _, r := range w.GetReplicas() { // there is one
		u.CPU += r.GetUsage().GetCpuTime().AsDuration()
		u.MemoryPeakBytes += r.GetUsage().GetMemoryPeakBytes()
		u.Restarts += int(r.GetRestarts())
	}
	return u, nil
}

func (l *endpointLoad) send(ctx context.Context, r profiling.Request) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.address, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+l.key)
	resp, err := l.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the data plane does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 2 {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	content, _ := io.ReadAll(io.LimitReader(resp.Body, shownAnswer)) // what came of it is shown
	var told struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(content, &told) == nil && told.Message != "" {
		content = []byte(told.Message)
	}
	return scored(resp.Status, bytes.TrimSpace(content))
}
