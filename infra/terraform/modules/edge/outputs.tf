output "dns_name" {
  description = "Name of the balancer."
  value       = aws_lb.this.dns_name
}

output "listeners" {
  description = "Port of each listener."
  value       = { for name, listener in local.listeners : name => listener.port }
}

output "metric_dimensions" {
  description = "Dimensions of CloudWatch's metrics: the balancer, and each target group."
  value = {
    balancer      = aws_lb.this.arn_suffix
    target_groups = { for name, group in aws_lb_target_group.this : name => group.arn_suffix }
  }
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "container_definitions" {
  description = "The containers, as ECS gets them."
  value       = module.task.container_definitions
}
