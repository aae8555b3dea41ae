output "task_definition_arn" {
  description = "ARN of this revision."
  value       = aws_ecs_task_definition.this.arn

  # A task that starts before its roles may anything fails.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}

output "family_arn" {
  description = "ARN without the revision."
  value       = aws_ecs_task_definition.this.arn_without_revision
}

output "container_name" {
  description = "Name of the container that runs Sponge."
  value       = var.container_name
}

output "container_definitions" {
  description = "The containers, as ECS gets them."
  value       = aws_ecs_task_definition.this.container_definitions
}

output "role_arns" {
  description = "Roles that a task is started with."
  value       = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
}

output "log_group_name" {
  description = "The log."
  value       = aws_cloudwatch_log_group.this.name
}
