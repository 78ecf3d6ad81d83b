package permission

// Table gives the rule of every method by its full gRPC name. A test compares it
// with the contracts.
func Table() map[string]Rule {
	t := map[string]Rule{}
	add := func(service string, rules map[string]Rule) {
		for method, rule := range rules {
			t["/"+service+"/"+method] = rule
		}
	}
	addAuth(add)
	addCompute(add)
	addDeploy(add)
	add("fairlead.events.v1.EventService", map[string]Rule{"WatchEvents": on("parent", Reader)})
	add("fairlead.telemetry.v1.RecordService", map[string]Rule{"Record": {Where: Services}})
	add("fairlead.telemetry.v1.TelemetryService", map[string]Rule{
		"GetSummary":      on("name", Reader),
		"QueryTimeSeries": on("name", Reader),
		"ListRequests":    on("parent", Reader),
		"TailRequests":    on("name", Reader),
	})
	add("fairlead.router.v1.RouterService", map[string]Rule{"GetRouteTable": {Where: Installation}})
	add("google.longrunning.Operations", map[string]Rule{
		"ListOperations": on("name", Reader),
		// Who began it may follow it, also with a role for one endpoint only: its name
		// is known to who began it, and to who may list.
		"GetOperation":    {Where: Member, Role: Reader, Field: "name"},
		"WaitOperation":   {Where: Member, Role: Reader, Field: "name"},
		"CancelOperation": on("name", Contributor),
		"DeleteOperation": on("name", Contributor),
	})
	return t
}

// on is a rule for the resource that a field of the request names.
func on(field string, role Role) Rule { return Rule{Where: Resource, Role: role, Field: field} }

func addAuth(add func(string, map[string]Rule)) {
	services, admin := Rule{Where: Services}, Rule{Where: Installation}
	add("fairlead.auth.v1.AccessService", map[string]Rule{"CheckAccess": services})
	add("fairlead.auth.v1.IdentityService", map[string]Rule{
		"GetIdentity": {Where: SignedIn},
		"TestAccess":  {Where: SignedIn},
	})
	add("fairlead.auth.v1.WorkspaceService", map[string]Rule{
		"ListWorkspaces":  {Where: SignedIn}, // shows those that the caller has a role in
		"GetWorkspace":    {Where: Member, Field: "name"},
		"CreateWorkspace": admin,
		"UpdateWorkspace": on("workspace.name", Owner),
	})
	add("fairlead.auth.v1.EndpointKeyService", map[string]Rule{
		"ListEndpointKeys":        on("name", Contributor),
		"RegenerateEndpointKey":   on("name", Contributor),
		"EnsureEndpointKeys":      services,
		"DeleteEndpointKeys":      services,
		"WatchEndpointKeyDigests": services,
	})
	add("fairlead.auth.v1.TokenService", map[string]Rule{
		"GetEndpointToken":     on("name", Scorer),
		"RevokeEndpointTokens": on("name", Contributor),
		"GetJwks":              {Where: Public},
		"RotateSigningKey":     admin,
		"WatchTokenKeys":       services,
	})
	add("fairlead.auth.v1.RoleBindingService", map[string]Rule{
		"ListRoleBindings":  on("parent", Owner),
		"GetRoleBinding":    on("name", Owner),
		"CreateRoleBinding": on("parent", Owner),
		"DeleteRoleBinding": on("name", Owner),
	})
	add("fairlead.auth.v1.ServicePrincipalService", map[string]Rule{
		"ListServicePrincipals":        admin,
		"GetServicePrincipal":          admin,
		"CreateServicePrincipal":       admin,
		"DeleteServicePrincipal":       admin,
		"CreateServicePrincipalSecret": admin,
		"DeleteServicePrincipalSecret": admin,
	})
	add("fairlead.auth.v1.AuditService", map[string]Rule{
		"ListAuditEntries":   on("parent", Owner),
		"RecordAuditEntries": services,
	})
}

func addCompute(add func(string, map[string]Rule)) {
	services := Rule{Where: Services}
	add("fairlead.compute.v1.ComputeTargetService", map[string]Rule{
		"ListComputeTargets":  on("parent", Reader),
		"GetComputeTarget":    on("name", Reader),
		"CreateComputeTarget": on("parent", Contributor),
		"AttachComputeTarget": on("parent", Contributor),
		"UpdateComputeTarget": on("compute_target.name", Contributor),
		"DetachComputeTarget": on("name", Contributor),
		"DeleteComputeTarget": on("name", Contributor),
		"ListNodes":           on("parent", Reader),
		"ListNodeSizes":       {Where: SignedIn},
	})
	add("fairlead.compute.v1.WorkloadService", map[string]Rule{
		"ApplyWorkload":    services,
		"GetWorkload":      on("name", Reader),
		"ListWorkloads":    on("parent", Reader),
		"DeleteWorkload":   services,
		"WatchWorkloads":   services,
		"ReadWorkloadLogs": services,
	})
}

func addDeploy(add func(string, map[string]Rule)) {
	services := Rule{Where: Services}
	add("fairlead.deploy.v1.EndpointService", map[string]Rule{
		"ListEndpoints":                on("parent", Reader),
		"GetEndpoint":                  on("name", Reader),
		"CreateEndpoint":               on("parent", Contributor),
		"UpdateEndpoint":               on("endpoint.name", Contributor),
		"DeleteEndpoint":               on("name", Contributor),
		"ListEndpointVersions":         on("parent", Reader),
		"GetEndpointVersion":           on("name", Reader),
		"CreateEndpointVersion":        on("parent", Contributor),
		"UpdateEndpointVersion":        on("version.name", Contributor),
		"DeleteEndpointVersion":        on("name", Contributor),
		"ListEndpointVersionRevisions": on("parent", Reader),
		"RollbackEndpointVersion":      on("name", Contributor),
		"ReadEndpointLogs":             on("name", Reader),
		"ConvertConfig":                on("parent", Reader), // changes nothing
	})
	add("fairlead.deploy.v1.ModelService", map[string]Rule{
		"ListModels":         on("parent", Reader),
		"ListModelVersions":  on("parent", Reader),
		"GetModelVersion":    on("name", Reader),
		"RegisterModel":      on("parent", Contributor),
		"UpdateModelVersion": on("model_version.name", Contributor),
		"DeleteModelVersion": on("name", Contributor),
	})
	add("fairlead.deploy.v1.EnvironmentService", map[string]Rule{
		"ListEnvironments":         on("parent", Reader),
		"ListEnvironmentVersions":  on("parent", Reader),
		"GetEnvironmentVersion":    on("name", Reader),
		"RegisterEnvironment":      on("parent", Contributor),
		"DeleteEnvironmentVersion": on("name", Contributor),
	})
	add("fairlead.deploy.v1.ArtefactService", map[string]Rule{
		"CreateUpload": on("parent", Contributor),
		"GetUpload":    on("name", Contributor),
		"WriteUpload":  on("name", Contributor),
		"ReadArtefact": on("name", Reader),
	})
	add("fairlead.deploy.v1.RouteService", map[string]Rule{"WatchRoutes": services})
	add("fairlead.deploy.v1.LoadService", map[string]Rule{"ReportLoad": services})
}
