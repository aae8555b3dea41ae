output "service_names" {
  description = "Names of the ECS services."
  value       = [for service in aws_ecs_service.this : service.name]
}

output "container_definitions" {
  description = "The containers of each service, as ECS gets them."
  value       = { for name, task in module.task : name => task.container_definitions }
}
