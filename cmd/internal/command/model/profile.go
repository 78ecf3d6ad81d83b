package model

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/command/computetarget"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/profiling"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const (
	// profileTag marks the endpoints that exist for a profile only.
	profileTag = "fairlead.profile"
	// longestRequest is the most that a request may take.
	longestRequest = 300 * time.Second
	// maxConcurrency bounds how many requests a profiled replica works on.
	maxConcurrency = 64
)

const profileExample = `  fairlead model profile -n sizing -m diabetes:1 --ic inferenceconfig.json -d requests.jsonl
  fairlead model profile -n sizing -m diabetes:1 --es score.py -d ./requests --rm 2 --rps 50 -t sizing.json -o json`

const profileLong = `Recommends processors and memory for a replica, by measured load: deploys the
script behind an endpoint of its own with one replica, sends it the requests, one
at a time and then more and more at once, looks at what the replica uses, and
deletes the endpoint again, also when it is interrupted. Nothing is limited
meanwhile: --cpu and --memory say which room the replica is placed in.

The requests are the bodies of a folder's files, the lines of a .jsonl file, or
one file.`

// profile is what `model profile` was asked to do.
type profile struct {
	flags         *deployment.Flags
	name, data    string
	target        string
	metadataFile  string
	cpu, memory   float64
	concurrency   int32
	duration      time.Duration
	rps           float64
	parent, id    string
	endpoint      string // the resource name of the one that exists for it
	draft         *deployment.Draft
	requests      []profiling.Request
	bad           apierr.Violations
	createRequest *deployv1.CreateEndpointRequest
}

func profileCommand(s *session.Session) *cobra.Command {
	p := &profile{flags: &deployment.Flags{}}
	cmd := &cobra.Command{
		Use: "profile", Short: "Recommend CPU and memory for a model by measured load",
		Long: profileLong, Example: profileExample, Args: session.NoArgs,
	}
	fs := cmd.Flags()
	p.flags.BindScript(fs)
	fs.StringVarP(&p.name, "name", "n", "", "name of the profile")
	fs.StringVarP(&p.data, "data", "d", "", "`FILE` or folder with request bodies (--input-data)")
	fs.Float64Var(&p.cpu, "cpu", 1, "processors that are asked for the replica")
	fs.Float64Var(&p.memory, "memory", 2, "memory that is asked for it, in GB")
	fs.Int32Var(&p.concurrency, "rm", 1, "requests that the replica works on at once (--replica-max-concurrent-requests)")
	fs.DurationVar(&p.duration, "duration", 30*time.Second, "how long to measure, besides the deployment")
	fs.Float64Var(&p.rps, "rps", 0, "requests per second for which to say how many replicas are needed")
	fs.StringVar(&p.target, "ct", "", "compute target (--compute-target); default local")
	fs.StringVarP(&p.metadataFile, "output-metadata-file", "t", "", "write the result as JSON to this `FILE` too")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "name", "data"); err != nil {
			return err
		}
		return p.run(ctx, s)
	})
	s.CompleteFlag(cmd, "model", IDs)
	s.CompleteFlag(cmd, "ct", computetarget.Names)
	return cmd
}

func (p *profile) run(ctx context.Context, s *session.Session) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	if p.parent, err = s.Parent(); err != nil {
		return err
	}
	if err := p.prepare(ctx, s, c); err != nil {
		return err
	}
	m, err := p.measure(ctx, s, c)
	if err != nil {
		return err
	}
	return p.report(s, m)
}

// prepare checks all that was given, together.
func (p *profile) prepare(ctx context.Context, s *session.Session, c *client.Client) error {
	draft, err := deployment.Maker{Endpoints: c.Endpoints, Parent: p.parent, Scope: deployment.NewEndpoint}.Make(ctx, p.flags)
	if err != nil {
		return err
	}
	p.draft = draft
	p.id = "profile-" + client.NewRequestID()[:8]
	if p.endpoint, err = s.Name("endpoints", p.id); err != nil {
		return err
	}
	for _, i := range draft.Ignored {
		s.Notef("ignored: %s: %s", i.Field, i.Description)
	}
	for _, note := range draft.Notes {
		s.Notef("%s", note)
	}
	p.checkFlags()
	if err := draft.CheckEnvironment(ctx, c.Environments, deployment.EnvironmentCheck{
		Parent: p.parent, Name: p.name, Target: cmp.Or(draft.Endpoint.GetComputeTarget(), deployment.DefaultTarget),
	}); err != nil {
		return err
	}
	p.createRequest = p.request()
	_, err = draft.Check(ctx, "the profile", p.create(c, true))
	if err == nil && len(p.bad) == 0 {
		return nil
	}
	return p.withFlags(err)
}

// checkFlags checks what the server does not know of.
func (p *profile) checkFlags() {
	var err error
	if p.requests, err = profiling.ReadRequests(p.data); err != nil {
		p.bad.Add("-d", "%v", err)
	}
	if p.duration < time.Second || p.duration > time.Hour {
		p.bad.Add("--duration", "must be from 1s to 1h, not %v", p.duration)
	}
	if p.concurrency < 1 || p.concurrency > maxConcurrency {
		p.bad.Add("--rm", "must be from 1 to %d, not %d", maxConcurrency, p.concurrency)
	}
	if p.cpu <= 0 {
		p.bad.Add("--cpu", "must be more than 0")
	}
	if p.memory <= 0 {
		p.bad.Add("--memory", "must be more than 0")
	}
	if p.rps < 0 {
		p.bad.Add("--rps", "must not be negative")
	}
}

// withFlags adds what the server found to what is wrong with the flags.
func (p *profile) withFlags(err error) error {
	words := map[string]string{
		"version.resources.cpu": "--cpu", "version.resources.memory_gb": "--memory", "endpoint.compute_target": "--ct",
		"version.request_settings.max_concurrent_requests_per_replica": "--rm", "endpoint.tags": "-n",
	}
	f := failure.New(failure.Error, "the profile cannot be made; nothing was deployed")
	f.Violations = p.bad
	if err != nil {
		found := failure.From(err, failure.Connection{})
		if len(found.Violations) == 0 {
			return err
		}
		f.RequestID = found.RequestID
		for _, v := range found.Violations {
			if word := words[v.Field]; word != "" {
				v.Field = word
			}
			f.Violations = append(f.Violations, v)
		}
	}
	return f
}

// request describes the endpoint that is measured: one replica without limits.
func (p *profile) request() *deployv1.CreateEndpointRequest {
	e, v := p.draft.Endpoint, p.draft.Version
	e.Description = "measured by model profile, which deletes it"
	e.Tags = map[string]string{profileTag: p.name}
	e.AuthMode = deployv1.Endpoint_AUTH_MODE_KEY
	if p.target != "" {
		e.ComputeTarget = p.target
	}
	v.Resources = &deployv1.ReplicaResources{Cpu: p.cpu, MemoryGb: p.memory}
	v.Replicas, v.Autoscale = 1, nil
	v.RequestSettings = &deployv1.RequestSettings{
		ScoringTimeout: durationpb.New(longestRequest), MaxQueueWait: durationpb.New(longestRequest),
		MaxConcurrentRequestsPerReplica: p.concurrency,
	}
	return &deployv1.CreateEndpointRequest{Parent: p.parent, EndpointId: p.id, Endpoint: e, Version: v, RequestId: client.NewRequestID()}
}

func (p *profile) create(c *client.Client, validateOnly bool) func(context.Context) (*longrunningpb.Operation, error) {
	return func(ctx context.Context) (*longrunningpb.Operation, error) {
		p.createRequest.ValidateOnly = validateOnly
		return c.Endpoints.CreateEndpoint(ctx, p.createRequest)
	}
}

// deploy makes the endpoint and waits until it answers.
func (p *profile) deploy(ctx context.Context, s *session.Session, c *client.Client) error {
	display := s.Progress("Deploying " + p.id)
	defer display.End(false)
	if len(p.draft.Files) > 0 {
		display.Step(s.Now(), "uploading "+upload.Describe(p.draft.Files, output.Bytes))
		if err := (&upload.Uploader{Artefacts: c.Artefacts, Parent: p.parent}).Upload(ctx, p.draft.Files); err != nil {
			return err
		}
	}
	id, err := p.draft.RegisterEnvironment(ctx, c.Environments, p.parent)
	if err != nil {
		return err
	}
	if id != "" {
		display.Step(s.Now(), "registered environment "+id)
	}
	op, err := p.create(c, false)(ctx)
	if err != nil {
		return err
	}
	done, err := s.Await(ctx, op, display)
	if err != nil {
		return p.deployFailed(ctx, s, done, err)
	}
	return nil
}

// scored is what an endpoint's answer to a request was, where it is not good.
func scored(status string, body []byte) error {
	return fmt.Errorf("it was answered %s: %s", status, body)
}
