package swagger

import "encoding/json"

// object is a JSON object.
type object = map[string]any

const (
	typeJSON = "application/json"
	typeText = "text/plain"

	aboutHealth   = "Simple health check endpoint to ensure the service is up at any given point."
	aboutHealthy  = "If service is up and running, this response will be returned with the content 'Healthy'"
	aboutScore    = "Run web service's model and get the prediction output"
	aboutInput    = "The input payload for executing the real-time machine learning service."
	aboutOutput   = "The service processed the input correctly and provided a result prediction, if applicable."
	aboutSwagger  = "Get the Swagger specification."
	aboutDocument = "The Swagger specification."
	aboutError    = "The service failed to execute due to an error."
)

// swagger2 is the document of version 2.
func (d *Documents) swagger2(schemas Schemas) object {
	answers := func(about string, schema object, example object) object {
		ok := object{"description": about, "schema": schema}
		if example != nil {
			ok["examples"] = example
		}
		return object{"200": ok, "default": object{"description": aboutError, "schema": reference("definitions", "ErrorResponse")}}
	}
	payload := object{"name": "serviceInputPayload", "in": "body", "description": aboutInput, "schema": reference("definitions", "ServiceInput")}
	version := object{"name": "version", "in": "query", "required": false, "type": "integer", "enum": []int{2, 3}}
	return object{
		"swagger": "2.0", "info": d.info(), "schemes": []string{"https"}, "consumes": []string{typeJSON}, "produces": []string{typeJSON},
		"securityDefinitions": object{"Bearer": bearer()},
		"paths": d.paths(
			object{"responses": answers(aboutHealthy, object{"type": "string"}, object{typeJSON: "Healthy"})},
			object{"parameters": []any{payload}, "responses": answers(aboutOutput, reference("definitions", "ServiceOutput"), nil)},
			object{"parameters": []any{version}, "responses": answers(aboutDocument, object{"type": "string"}, nil)},
		),
		"definitions": schemas.definitions(),
	}
}

// openAPI is the document of versions 3 and 3.1.
func (d *Documents) openAPI(schemas Schemas, version string) object {
	content := func(kind string, schema object) object { return object{kind: object{"schema": schema}} }
	answers := func(about, kind string, schema object) object {
		failed := object{"description": aboutError, "content": content(typeJSON, reference("components/schemas", "ErrorResponse"))}
		return object{"200": object{"description": about, "content": content(kind, schema)}, "default": failed}
	}
	payload := object{"description": aboutInput, "content": content(typeJSON, reference("components/schemas", "ServiceInput"))}
	asked := object{"name": "version", "in": "query", "required": false, "schema": object{"type": "integer", "enum": []int{2, 3}}}
	return object{
		"openapi": version, "info": d.info(), "security": needsKey(),
		"paths": d.paths(
			object{"responses": answers(aboutHealthy, typeText, object{"type": "string", "example": "Healthy"})},
			object{"requestBody": payload, "responses": answers(aboutOutput, typeJSON, reference("components/schemas", "ServiceOutput"))},
			object{"parameters": []any{asked}, "responses": answers(aboutDocument, typeText, object{"type": "string"})},
		),
		"components": object{"schemas": schemas.definitions(), "securitySchemes": object{"Bearer": bearer()}},
	}
}

func (d *Documents) info() object {
	return object{
		"title": d.service.Name, "version": d.service.Version,
		"description": "API specification for the Azure Machine Learning service " + d.service.Name,
	}
}

// paths completes the operations with what is the same in all versions.
func (d *Documents) paths(health, score, swagger object) object {
	health["operationId"], health["description"] = "ServiceHealthCheck", aboutHealth
	score["operationId"], score["description"], score["security"] = "RunMLService", aboutScore, needsKey()
	swagger["operationId"], swagger["description"] = "GetSwaggerSpec", aboutSwagger
	return object{
		d.path("/"):             object{"get": health},
		d.path("/score"):        object{"post": score},
		d.path("/swagger.json"): object{"get": swagger},
	}
}

func (s Schemas) definitions() object {
	orAny := func(schema json.RawMessage) any {
		if schema == nil {
			return object{"type": "object", "example": object{}}
		}
		return schema
	}
	failed := object{"type": "object", "properties": object{"message": object{"type": "string"}}}
	return object{"ServiceInput": orAny(s.Input), "ServiceOutput": orAny(s.Output), "ErrorResponse": failed}
}

func bearer() object {
	return object{"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
}

func needsKey() []any { return []any{object{"Bearer": []any{}}} }

func reference(where, name string) object { return object{"$ref": "#/" + where + "/" + name} }
