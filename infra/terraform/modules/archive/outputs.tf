output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "uri" {
  description = "Where the archive is, as sponge audit takes it."
  value       = "s3://${aws_s3_bucket.this.bucket}/${local.prefix}"
}

output "container_definitions" {
  description = "The containers, as ECS gets them."
  value       = module.task.container_definitions
}

output "schedule_group" {
  description = "Name of the schedule's group, as metrics have it."
  value       = aws_scheduler_schedule_group.this.name
}
