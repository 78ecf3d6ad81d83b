package grpcapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/legacyconfig"
)

// ConvertConfig reads the old product's configuration files. Fields that they do
// not give are left out, and have their defaults when the answer is deployed.
func (s *Endpoints) ConvertConfig(_ context.Context, req *deployv1.ConvertConfigRequest) (*deployv1.ConvertConfigResponse, error) {
	if _, err := workspacePattern.ParseField("parent", req.GetParent()); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range req.GetAbsentFiles() {
		files[name] = nil
	}
	for name, content := range req.GetFiles() {
		files[name] = append([]byte{}, content...) // not nil, which means that it does not exist
	}
	r := legacyconfig.Read(legacyconfig.Input{Deployment: req.GetDeploymentConfig(), Inference: req.GetInferenceConfig(), Files: files})
	out := &deployv1.ConvertConfigResponse{
		Endpoint: &deployv1.Endpoint{ComputeTarget: r.ComputeTarget}, VersionId: r.VersionID, Version: versionFrom(r.Version),
		Keys:            &deployv1.InitialKeys{PrimaryKey: r.PrimaryKey, SecondaryKey: r.SecondaryKey},
		ComputeTargetId: r.ComputeTarget, SourceDirectory: r.SourceDirectory,
		Violations: findings(r.Violations), Ignored: findings(r.Ignored), MissingFiles: r.Missing,
	}
	out.Version.Environment = r.EnvironmentRef
	out.Endpoint.TelemetryEnabled = r.Telemetry != nil && *r.Telemetry
	if e := r.Environment; e != nil {
		out.Environment, out.EnvironmentId = environmentFrom(e), e.Name
	}
	if r.Auth != "" {
		out.Endpoint.AuthMode = authMode(r.Auth)
	}
	return out, nil
}

func versionFrom(v endpoint.VersionInput) *deployv1.EndpointVersion {
	in := v.Spec
	out := &deployv1.EndpointVersion{
		EntryScript: in.EntryScript, EnvironmentVariables: in.Environment, Replicas: int32(in.Replicas), TrafficPercentile: v.Percentile,
		Autoscale: autoscaleFrom(in.Autoscale), CollectModelData: in.CollectModelData, Namespace: in.Namespace,
	}
	resources := &deployv1.ReplicaResources{Cpu: in.CPU, CpuLimit: in.CPULimit, MemoryGb: in.MemoryGB, MemoryLimitGb: in.MemoryLimitGB, Gpus: int32(in.GPUs)}
	if in.CPU != 0 || in.CPULimit != 0 || in.MemoryGB != 0 || in.MemoryLimitGB != 0 || in.GPUs != 0 {
		out.Resources = resources
	}
	if in.ScoringTimeout != nil || in.MaxQueueWait != nil || in.MaxConcurrent != 0 {
		out.RequestSettings = &deployv1.RequestSettings{
			ScoringTimeout: durationTo(in.ScoringTimeout), MaxQueueWait: durationTo(in.MaxQueueWait), MaxConcurrentRequestsPerReplica: int32(in.MaxConcurrent),
		}
	}
	probe := &deployv1.Probe{
		Period: durationTo(in.ProbePeriod), InitialDelay: durationTo(in.ProbeDelay), Timeout: durationTo(in.ProbeTimeout),
		SuccessThreshold: int32(in.SuccessThreshold), FailureThreshold: int32(in.FailureThreshold),
	}
	if probe.GetPeriod() != nil || probe.GetInitialDelay() != nil || probe.GetTimeout() != nil || in.SuccessThreshold != 0 || in.FailureThreshold != 0 {
		out.LivenessProbe = probe
	}
	return out
}

func autoscaleFrom(in *endpoint.AutoscaleInput) *deployv1.Autoscale {
	if in == nil {
		return nil
	}
	out := &deployv1.Autoscale{
		MaxReplicas: int32(in.Max), TargetUtilizationPercent: int32(in.Target),
		RefreshPeriod: durationTo(in.RefreshPeriod), IdleTime: durationTo(in.IdleTime),
	}
	if in.Min != nil {
		least := int32(*in.Min)
		out.MinReplicas = &least
	}
	return out
}

func environmentFrom(e *legacyconfig.Environment) *deployv1.EnvironmentVersion {
	out := &deployv1.EnvironmentVersion{InferencingStackVersion: e.StackVersion}
	python := &deployv1.EnvironmentPython{
		CondaChannels: e.Channels, CondaDependencies: e.Conda, PipRequirements: e.Pip, CondaFile: e.CondaFile,
		InterpreterPath: e.InterpreterPath, UserManaged: e.UserManaged,
	}
	if proto.Size(python) > 0 {
		out.Python = python
	}
	docker := &deployv1.EnvironmentDocker{BaseImage: e.BaseImage, BaseDockerfile: e.BaseDockerfile, ShmSize: e.ShmSize, Arguments: e.Arguments}
	if e.RegistryAddress+e.RegistryUser != "" {
		docker.Registry = &deployv1.ImageRegistry{Address: e.RegistryAddress, Username: e.RegistryUser}
	}
	if proto.Size(docker) > 0 {
		out.Docker = docker
	}
	return out
}

func durationTo(d *time.Duration) *durationpb.Duration {
	if d == nil {
		return nil
	}
	return durationpb.New(*d)
}

func findings(all []legacyconfig.Finding) []*deployv1.ConvertConfigResponse_Finding {
	var out []*deployv1.ConvertConfigResponse_Finding
	for _, f := range all {
		out = append(out, &deployv1.ConvertConfigResponse_Finding{Field: f.Field, Description: f.Description})
	}
	return out
}
