variable "name" {
  description = "Name of the cluster or instance."
  type        = string
}

variable "engine" {
  description = "aurora-mysql for a cluster over the zones, mysql for a single RDS instance."
  type        = string
  default     = "aurora-mysql"

  validation {
    condition     = contains(["aurora-mysql", "mysql"], var.engine)
    error_message = "engine is aurora-mysql or mysql."
  }
}

variable "engine_version" {
  description = "Version of the engine: 8.0.mysql_aurora.3.x for Aurora, 8.4 for MySQL."
  type        = string

  validation {
    condition     = var.engine == "mysql" ? startswith(var.engine_version, "8.4") : startswith(var.engine_version, "8.0.mysql_aurora.3.")
    error_message = "engine_version is 8.0.mysql_aurora.3.x for aurora-mysql, 8.4 or 8.4.x for mysql."
  }
}

variable "instance_class" {
  description = "Class of the instances, such as db.r8g.large; db.serverless for Aurora Serverless v2."
  type        = string

  validation {
    condition     = startswith(var.instance_class, "db.") && !(var.engine == "mysql" && var.instance_class == "db.serverless")
    error_message = "instance_class begins with db.; db.serverless is for aurora-mysql only."
  }
}

variable "instances" {
  description = "Instances of an Aurora cluster, 1 to 16; from 2 on, one takes over from another."
  type        = number
  default     = 2

  validation {
    condition     = var.instances >= 1 && var.instances <= 16
    error_message = "instances is from 1 to 16."
  }
}

variable "serverless_capacity" {
  description = "Aurora capacity units, for db.serverless: 0.5 to 256."
  type        = object({ min = number, max = number })
  default     = { min = 0.5, max = 8 }

  validation {
    condition     = var.serverless_capacity.min >= 0.5 && var.serverless_capacity.max >= var.serverless_capacity.min && var.serverless_capacity.max <= 256
    error_message = "serverless_capacity: min is at least 0.5, max from min to 256."
  }
}

variable "storage_gib" {
  description = "Disk of a single instance, in GiB, at least 20."
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gib >= 20
    error_message = "storage_gib is at least 20."
  }
}

variable "storage_max_gib" {
  description = "What that disk may grow to by itself, in GiB."
  type        = number
  default     = 200

  validation {
    condition     = var.storage_max_gib >= var.storage_gib
    error_message = "storage_max_gib is at least storage_gib."
  }
}

variable "multi_az" {
  description = "Whether a single instance has a standby in another zone."
  type        = bool
  default     = false
}

variable "username" {
  description = "User that Sponge logs in as."
  type        = string
  default     = "sponge"
}

variable "password" {
  description = "That user's password. Never stored in the state."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "password_version" {
  description = "Number that goes up when the password changes."
  type        = number
}

variable "port" {
  description = "Port of MySQL."
  type        = number
}

variable "backup_retention_days" {
  description = "Days for which any second can be restored, 1 to 35."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days is from 1 to 35."
  }
}

variable "deletion_protection" {
  description = "Whether the database refuses to be deleted."
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Who may connect, by name."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that the disks are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
