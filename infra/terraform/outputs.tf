output "connect" {
  description = "What clients connect to: address by listener, and the WebSocket's URL."
  value = {
    host      = coalesce(var.endpoint.domain, module.edge.dns_name)
    addresses = { for name, port in module.edge.listeners : name => "${coalesce(var.endpoint.domain, module.edge.dns_name)}:${port}" }
    websocket = "wss://${coalesce(var.endpoint.domain, module.edge.dns_name)}/ws"
  }
}

output "balancer" {
  description = "Name of the load balancer, for a DNS record of your own (CNAME)."
  value       = module.edge.dns_name
}

output "repository" {
  description = "Where to push the image to, tagged with the release."
  value       = module.registry.repository_url
}

output "image" {
  description = "Image that runs."
  value       = local.image
}

output "kafka" {
  description = "Brokers, within the VPC."
  value       = local.bootstrap_brokers
}

output "mysql_host" {
  description = "Database, within the VPC."
  value       = module.store.host
}

output "redis_host" {
  description = "Channels, within the VPC."
  value       = module.channels.host
}

output "archive" {
  description = "Where the audit archive is."
  value       = module.archive.uri
}

output "dashboard" {
  description = "Name of the CloudWatch dashboard."
  value       = module.observability.dashboard
}

output "alarm_topic_arn" {
  description = "SNS topic of the alarms."
  value       = module.observability.topic_arn
}

output "ecs_cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "migrate" {
  description = "What `aws ecs run-task` needs to run a long migration by hand."
  value = {
    task_definition = module.migrate.task_definition_arn
    subnets         = local.task_subnet_ids
    security_groups = [module.network.security_group_ids["workers"]]
    public_ip       = var.network.private_tasks ? "DISABLED" : "ENABLED"
  }
}

output "containers" {
  description = "Container definitions, for tests and for the curious."
  value = {
    edge    = module.edge.container_definitions
    workers = one(module.workers[*].container_definitions)
    archive = module.archive.container_definitions
  }
}
