package grpcapi

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/bundle"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/model"
)

func endpointInput(e *deployv1.Endpoint) endpoint.Input {
	in := endpoint.Input{
		Description: e.GetDescription(), Tags: e.GetTags(), Properties: e.GetProperties(),
		Auth: endpoint.AuthKey, Telemetry: e.GetTelemetryEnabled(),
	}
	switch e.GetAuthMode() {
	case deployv1.Endpoint_AUTH_MODE_NONE:
		in.Auth = endpoint.AuthNone
	case deployv1.Endpoint_AUTH_MODE_TOKEN:
		in.Auth = endpoint.AuthToken
	case deployv1.Endpoint_AUTH_MODE_KEY, deployv1.Endpoint_AUTH_MODE_UNSPECIFIED:
	}
	return in
}

// versionInput gives all of a version but its models and its environment, which
// must be looked up.
func versionInput(v *deployv1.EndpointVersion) endpoint.VersionInput {
	in := endpoint.VersionInput{
		Description: v.GetDescription(), Tags: v.GetTags(), Properties: v.GetProperties(),
		Percentile: v.GetTrafficPercentile(), Default: v.GetIsDefault(),
		Spec: endpoint.SpecInput{
			SourceFiles: filesFrom(v.GetSourceFiles()), EntryScript: v.GetEntryScript(), Environment: v.GetEnvironmentVariables(),
			CPU: v.GetResources().GetCpu(), CPULimit: v.GetResources().GetCpuLimit(),
			MemoryGB: v.GetResources().GetMemoryGb(), MemoryLimitGB: v.GetResources().GetMemoryLimitGb(),
			GPUs: int(v.GetResources().GetGpus()), Replicas: int(v.GetReplicas()), Autoscale: autoscaleInput(v.GetAutoscale()),
			CollectModelData: v.GetCollectModelData(), Namespace: v.GetNamespace(), Runtime: runtimeInput(v.GetRuntime()),
			ScoringTimeout:   duration(v.GetRequestSettings().GetScoringTimeout()),
			MaxConcurrent:    int(v.GetRequestSettings().GetMaxConcurrentRequestsPerReplica()),
			MaxQueueWait:     duration(v.GetRequestSettings().GetMaxQueueWait()),
			ProbePeriod:      duration(v.GetLivenessProbe().GetPeriod()),
			ProbeDelay:       duration(v.GetLivenessProbe().GetInitialDelay()),
			ProbeTimeout:     duration(v.GetLivenessProbe().GetTimeout()),
			SuccessThreshold: int(v.GetLivenessProbe().GetSuccessThreshold()),
			FailureThreshold: int(v.GetLivenessProbe().GetFailureThreshold()),
		},
	}
	if v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
		in.Role = endpoint.Control
	}
	return in
}

func autoscaleInput(a *deployv1.Autoscale) *endpoint.AutoscaleInput {
	if a == nil {
		return nil
	}
	in := &endpoint.AutoscaleInput{
		Max: int(a.GetMaxReplicas()), Target: int(a.GetTargetUtilizationPercent()),
		RefreshPeriod: duration(a.GetRefreshPeriod()), IdleTime: duration(a.GetIdleTime()),
	}
	if a.MinReplicas != nil {
		least := int(a.GetMinReplicas())
		in.Min = &least
	}
	return in
}

func duration(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	return &v
}

func filesFrom(files []*deployv1.ArtefactFile) []bundle.File {
	out := make([]bundle.File, len(files))
	for i, f := range files {
		out[i] = bundle.File{Path: f.GetPath(), SHA256: f.GetSha256(), Size: f.GetSizeBytes()}
	}
	return out
}

func filesTo(files []bundle.File) []*deployv1.ArtefactFile {
	out := make([]*deployv1.ArtefactFile, len(files))
	for i, f := range files {
		out[i] = &deployv1.ArtefactFile{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size}
	}
	return out
}

func (s *server) endpoint(e endpoint.Endpoint) *deployv1.Endpoint {
	out := &deployv1.Endpoint{
		Name: e.Name(), Uid: e.UID, Description: e.Description, Tags: e.Tags, Properties: e.Properties,
		ComputeTarget: e.ComputeTarget, AuthMode: authMode(e.Auth), State: stateTo(e.State), StateMessage: e.Message,
		Conditions:     []*resourcev1.Condition{ready(e)},
		DefaultVersion: e.DefaultVersion, ControlVersion: e.ControlVersion,
		ScoringPath: scoringPath(e), Generation: e.Generation, ObservedGeneration: e.Observed,
		CreateTime: timestamppb.New(e.CreateTime), UpdateTime: timestamppb.New(e.UpdateTime), CreatedBy: e.CreatedBy, Etag: tag(e),
		TelemetryEnabled: e.Telemetry, RunningOperation: e.Running(),
	}
	if s.cfg.ScoringBaseURL != "" {
		out.ScoringUri = s.cfg.ScoringBaseURL + out.GetScoringPath()
	}
	for _, v := range e.Versions {
		out.Versions = append(out.Versions, s.version(e, v))
		out.Traffic = append(out.Traffic, &deployv1.TrafficShare{Version: v.ID, Percent: percent(e.Share(v.ID))})
	}
	return out
}

// ready tells whether an endpoint is healthy, and else the reason of the version
// that it is not.
func ready(e endpoint.Endpoint) *resourcev1.Condition {
	c := &resourcev1.Condition{Type: "Ready", Status: truth(e.State == endpoint.Healthy), Message: e.Message}
	switch v, ok := e.Worst(); {
	case e.Deletion != nil:
		c.Reason = "Deleting"
	case ok:
		c.Reason, c.LastTransitionTime = v.Status.Reason, timestamppb.New(v.Status.Since)
	}
	return c
}

func scoringPath(e endpoint.Endpoint) string {
	if e.Workspace == "default" {
		return "/api/v1/service/" + e.ID + "/score"
	}
	return "/api/v1/workspaces/" + e.Workspace + "/service/" + e.ID + "/score"
}

func (s *server) version(e endpoint.Endpoint, v endpoint.Version) *deployv1.EndpointVersion {
	out := specMessage(e.Workspace, v.Spec)
	out.Name, out.Uid, out.Description, out.Tags, out.Properties = e.VersionName(v.ID), v.UID, v.Description, v.Tags, v.Properties
	out.TrafficPercentile, out.IsDefault, out.Type = percent(v.Percentile), e.DefaultVersion == v.ID, deployv1.EndpointVersion_TYPE_TREATMENT
	if e.Role(v.ID) == endpoint.Control {
		out.Type = deployv1.EndpointVersion_TYPE_CONTROL
	}
	out.State, out.StateMessage, out.Conditions = stateTo(v.Status.State), v.Status.Message, conditions(v.Status)
	out.ReadyReplicas, out.DesiredReplicas, out.ReplicaStatuses = int32(v.Status.Ready), int32(endpoint.DesiredReplicas(v)), s.replicas(v)
	out.TrafficShare, out.Revision, out.ServingRevision = percent(e.Share(v.ID)), v.Revision, v.Serving
	out.Notices, out.ScalingStatus = s.notices(e, v), s.scalingStatus(e, v)
	out.CreateTime, out.UpdateTime, out.Etag = timestamppb.New(v.CreateTime), timestamppb.New(v.UpdateTime), tag(e)
	return out
}

// specMessage gives a version with what it runs and nothing else.
func specMessage(workspace string, spec endpoint.Spec) *deployv1.EndpointVersion {
	out := &deployv1.EndpointVersion{
		SourceFiles: filesTo(spec.SourceFiles), EntryScript: spec.EntryScript, EnvironmentVariables: spec.Environment,
		Resources: &deployv1.ReplicaResources{
			Cpu: spec.CPU, CpuLimit: spec.CPULimit, MemoryGb: spec.MemoryGB, MemoryLimitGb: spec.MemoryLimitGB, Gpus: int32(spec.GPUs),
		},
		Replicas: int32(spec.Replicas), Autoscale: autoscale(spec.Autoscale), RequestSettings: requestSettings(spec.Requests),
		LivenessProbe: &deployv1.Probe{
			Period: durationpb.New(spec.Liveness.Period), InitialDelay: durationpb.New(spec.Liveness.InitialDelay), Timeout: durationpb.New(spec.Liveness.Timeout),
			SuccessThreshold: int32(spec.Liveness.SuccessThreshold), FailureThreshold: int32(spec.Liveness.FailureThreshold),
		},
		Environment: spec.Packages, CollectModelData: spec.CollectModelData, Namespace: spec.Namespace,
		Runtime: runtimeTo(spec.Runtime),
	}
	for _, m := range spec.Models {
		out.Models = append(out.Models, model.VersionName(workspace, m.Model, m.Version))
	}
	return out
}

func autoscale(a *endpoint.Autoscale) *deployv1.Autoscale {
	if a == nil {
		return nil
	}
	least := int32(a.Min)
	return &deployv1.Autoscale{
		MinReplicas: &least, MaxReplicas: int32(a.Max), TargetUtilizationPercent: int32(a.Target),
		RefreshPeriod: durationpb.New(a.RefreshPeriod), IdleTime: durationpb.New(a.IdleTime),
	}
}

func requestSettings(r endpoint.Requests) *deployv1.RequestSettings {
	return &deployv1.RequestSettings{
		ScoringTimeout: durationpb.New(r.ScoringTimeout), MaxConcurrentRequestsPerReplica: int32(r.MaxConcurrent), MaxQueueWait: durationpb.New(r.MaxQueueWait),
	}
}

// conditions gives Ready, and Scheduled where it is known whether there is room.
func conditions(s endpoint.Status) []*resourcev1.Condition {
	since := timestamppb.New(s.Since)
	all := []*resourcev1.Condition{{
		Type: "Ready", Status: truth(s.State == endpoint.Healthy), Reason: s.Reason, Message: s.Message, LogLines: s.LogLines, LastTransitionTime: since,
	}}
	switch s.State {
	case endpoint.Unschedulable:
		all = append(all, &resourcev1.Condition{Type: "Scheduled", Status: truth(false), Reason: s.Reason, Message: s.Message, LastTransitionTime: since})
	case endpoint.Healthy:
		all = append(all, &resourcev1.Condition{Type: "Scheduled", Status: truth(true), LastTransitionTime: since})
	default:
	}
	return all
}

func truth(holds bool) resourcev1.Condition_Status {
	if holds {
		return resourcev1.Condition_STATUS_TRUE
	}
	return resourcev1.Condition_STATUS_FALSE
}

func authMode(a endpoint.AuthMode) deployv1.Endpoint_AuthMode {
	switch a {
	case endpoint.AuthNone:
		return deployv1.Endpoint_AUTH_MODE_NONE
	case endpoint.AuthToken:
		return deployv1.Endpoint_AUTH_MODE_TOKEN
	case endpoint.AuthKey:
	}
	return deployv1.Endpoint_AUTH_MODE_KEY
}

func stateTo(s endpoint.State) deployv1.State {
	return deployv1.State(deployv1.State_value["STATE_"+string(s)])
}

func percent(hundredths int) float64 { return float64(hundredths) / 100 }

func modelVersion(v model.Version) *deployv1.ModelVersion {
	return &deployv1.ModelVersion{
		Name: v.ResourceName(), Id: v.ID(), Uid: v.UID, Model: v.Model, Version: v.Number,
		Description: v.Description, Tags: v.Tags, Properties: v.Properties, Framework: v.Framework, FrameworkVersion: v.FrameworkVersion,
		Files: filesTo(v.Files), Digest: v.Digest, SizeBytes: v.Size,
		CreateTime: timestamppb.New(v.CreateTime), UpdateTime: timestamppb.New(v.UpdateTime), CreatedBy: v.CreatedBy, Etag: modelTag(v),
	}
}
